//go:build old

package main

// What is otherwise with clientv3 3.5: nothing beyond what both versions have.

import clientv3 "go.etcd.io/etcd/client/v3"

var newChecks []check

// observed is what an election tells; clientv3 3.7 tells it in another type.
func observed(answer clientv3.GetResponse) *clientv3.GetResponse { return &answer }
