"""The secrets agent: secrets over local HTTP, from cache. Knows no sockets."""
