// Program etcdctl is real etcd 3.7.1's client, the one that must not notice it talks to Quorate.
package main

import "go.etcd.io/etcd/etcdctl/v3/ctlv3"

func main() { ctlv3.MustStart() }
