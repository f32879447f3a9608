"""Routes, requests and answers: the server's HTTP side."""
