"""The server's HTTP side: routes, requests and answers."""
