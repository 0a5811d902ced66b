"""The store on etcd, for a cluster of nodes."""
