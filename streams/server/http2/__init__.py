"""HTTP/2: the same application, behind the same bounds, on the same socket."""
