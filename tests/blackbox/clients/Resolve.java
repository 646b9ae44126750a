import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.security.Security;
import java.util.ArrayList;
import java.util.Hashtable;
import java.util.List;
import javax.naming.Context;
import javax.naming.NamingEnumeration;
import javax.naming.directory.Attribute;
import javax.naming.directory.InitialDirContext;

/**
 * Asks InetAddress, and JNDI's DNS provider, which reads resolv.conf. A line "addresses NAME" on standard input is
 * answered with a line of addresses, a line "services NAME" with priority:weight:port:target for each SRV record;
 * "! reason" when it fails.
 */
public class Resolve {
    public static void main(String[] arguments) throws Exception {
        // Java keeps addresses for 30 s and failures for 10 s, whatever their TTL, unless it is told otherwise.
        Security.setProperty("networkaddress.cache.ttl", "0");
        Security.setProperty("networkaddress.cache.negative.ttl", "0");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] fields = line.split(" ");
            try {
                List<String> words = fields[0].equals("services") ? services(fields[1]) : addresses(fields[1]);
                System.out.println(String.join(" ", words));
            } catch (Exception error) {
                System.out.println("! " + error);
            }
        }
    }

    private static List<String> addresses(String name) throws Exception {
        List<String> words = new ArrayList<>();
        for (InetAddress address : InetAddress.getAllByName(name)) {
            words.add(address.getHostAddress());
        }
        return words;
    }

    private static List<String> services(String name) throws Exception {
        Hashtable<String, String> settings = new Hashtable<>();
        settings.put(Context.INITIAL_CONTEXT_FACTORY, "com.sun.jndi.dns.DnsContextFactory");
        settings.put(Context.PROVIDER_URL, "dns:");
        Attribute records = new InitialDirContext(settings).getAttributes(name, new String[] {"SRV"}).get("SRV");
        List<String> words = new ArrayList<>();
        if (records != null) {
            NamingEnumeration<?> each = records.getAll();
            while (each.hasMore()) {
                words.add(each.next().toString().replace(' ', ':'));
            }
        }
        return words;
    }
}
