/* Asks the C library: a line `addresses NAME` or `addresses4 NAME` on standard input is answered with a line of
   addresses, or with `! reason`. */

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static void answer(const char *name, int family)
{
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *first;
    int code = getaddrinfo(name, "80", &hints, &first);
    if (code != 0) {
        printf("! %s\n", gai_strerror(code));
        return;
    }
    for (struct addrinfo *entry = first; entry != NULL; entry = entry->ai_next) {
        char text[128];
        getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST);
        printf("%s ", text);
    }
    printf("\n");
    freeaddrinfo(first);
}

int main(void)
{
    char verb[32], name[300];
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (scanf("%31s %299s", verb, name) == 2)
        answer(name, strcmp(verb, "addresses4") == 0 ? AF_INET : AF_UNSPEC);
    return 0;
}
