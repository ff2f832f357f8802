package main

// What a client cannot do itself: the test that started this program kills and starts members, and has real etcd's
// tools restore a snapshot. A line `ask WHAT` is answered by one line.

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

type driver struct{ answers *bufio.Reader }

func newDriver() *driver { return &driver{bufio.NewReader(os.Stdin)} }

func (d *driver) ask(what string) string {
	fmt.Printf("ask %s\n", what)
	answer, err := d.answers.ReadString('\n')
	must(err)
	answer = strings.TrimSpace(answer)
	if strings.HasPrefix(answer, "cannot") {
		panic(answer)
	}
	return answer
}

// kill is kill -9, and the process is gone when it returns.
func (d *driver) kill(endpoint string) { d.ask("kill " + endpoint) }

// start returns when the member serves again.
func (d *driver) start(endpoint string) { d.ask("start " + endpoint) }

// restore gives the URL of a fresh real etcd on what real etcdutl made of the snapshot.
func (d *driver) restore(file string) string { return d.ask("restore " + file) }
