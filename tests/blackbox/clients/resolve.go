// Asks Go's net package. A line `addresses NAME` on standard input is answered with a line of addresses, a line
// `services NAME` with priority:weight:port:target for each SRV record; `! reason` when it fails.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
)

func addresses(name string) ([]string, error) {
	return net.LookupHost(name)
}

func services(name string) ([]string, error) {
	// With empty service and protocol it asks for the name as it is.
	_, records, err := net.LookupSRV("", "", name)
	var words []string
	for _, r := range records {
		words = append(words, fmt.Sprintf("%d:%d:%d:%s", r.Priority, r.Weight, r.Port, r.Target))
	}
	return words, err
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		lookup := addresses
		if fields[0] == "services" {
			lookup = services
		}
		words, err := lookup(fields[1])
		if err != nil {
			fmt.Println("!", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println(strings.Join(words, " "))
		}
	}
}
