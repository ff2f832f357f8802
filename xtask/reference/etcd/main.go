// Program etcd is real etcd 3.7.1's server, for the tests that compare Quorate with it.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
