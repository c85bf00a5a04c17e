"""The control door: HTTP/JSON on a Unix socket, the metrics, and the daemon round them."""
