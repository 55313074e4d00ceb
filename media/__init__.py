"""Everything that runs media tools: probing, indexing, proxies. It knows no database and no vault."""
