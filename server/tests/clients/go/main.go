// Program go-client uses a cluster as users of Go's clientv3 do, and asserts by itself what it gets. It prints one line
// per check, without anything that differs from run to run (no ids, no addresses, no times), so that two runs against
// two servers can be compared. It knows nothing of Quorate.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// How long one check may take on a machine that does other things too.
const checkMax = 60 * time.Second

// suite is what every check works with.
type suite struct {
	ctx       context.Context
	client    *clientv3.Client
	endpoints []string
	// A certificate whose CommonName is no user's, and one of the user "root".
	machine, root *tls.Config
	folder        string
	driver        *driver
}

// check is a named piece of use; what it returns is printed and compared.
type check struct {
	name string
	run  func(*suite) string
}

func main() {
	endpoints := flag.String("endpoints", "", "client URLs of all members, comma separated")
	pki := flag.String("pki", "", "folder with ca.pem, client-machine.pem, client-root.pem and their .key files")
	folder := flag.String("folder", "", "folder for files of this run")
	only := flag.String("only", "", "only checks whose name begins so")
	flag.Parse()

	s := &suite{
		endpoints: strings.Split(*endpoints, ","), folder: *folder, driver: newDriver(),
		machine: certificate(*pki, "machine"), root: certificate(*pki, "root"),
	}
	s.ctx = context.Background()
	s.client = s.connect(s.machine, "", "")
	groups := [][]check{
		kvChecks, watchChecks, leaseChecks, concurrencyChecks, helperChecks, kubernetesChecks, newChecks,
		maintenanceChecks, clusterChecks, killChecks, authChecks,
	}
	failed := 0
	for _, group := range groups {
		for _, c := range group {
			if strings.HasPrefix(c.name, *only) && !s.runOne(c) {
				failed++
			}
		}
	}
	s.client.Close()
	if failed > 0 {
		os.Exit(1)
	}
}

// runOne prints the line of one check. Its keys are gone afterwards, unless it wants to be followed.
func (s *suite) runOne(c check) (good bool) {
	ctx, cancel := context.WithTimeout(context.Background(), checkMax)
	defer cancel()
	s.ctx = ctx
	start := time.Now()
	defer func() {
		fmt.Fprintf(os.Stderr, "%s took %v\n", c.name, time.Since(start))
		if why := recover(); why != nil {
			fmt.Printf("FAILED %s: %v\n", c.name, why)
			good = false
		}
	}()
	fmt.Printf("ok %s: %s\n", c.name, c.run(s))
	return true
}

func certificate(pki, name string) *tls.Config {
	file := func(name string) string { return pki + "/" + name }
	info := transport.TLSInfo{
		CertFile: file("client-" + name + ".pem"), KeyFile: file("client-" + name + ".key"),
		TrustedCAFile: file("ca.pem"),
	}
	config, err := info.ClientConfig()
	must(err)
	return config
}

// connect makes a client of all members; without a name it is nobody's.
func (s *suite) connect(config *tls.Config, name, password string) *clientv3.Client {
	client, err := s.tryConnect(config, name, password)
	must(err)
	return client
}

func (s *suite) tryConnect(config *tls.Config, name, password string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: s.endpoints, TLS: config, Username: name, Password: password, DialTimeout: 20 * time.Second,
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 5 * time.Second, Logger: zap.NewNop(),
	})
}

// at makes a client of one member.
func (s *suite) at(endpoint string) *clientv3.Client {
	one := *s
	one.endpoints = []string{endpoint}
	return one.connect(s.machine, "", "")
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// got gives back the first of two when the second is no error.
func got[T any](value T, err error) T {
	must(err)
	return value
}

// want ends the check when two things differ as they are printed.
func want(what string, is, should any) {
	if fmt.Sprint(is) != fmt.Sprint(should) {
		panic(fmt.Sprintf("%s is %v, not %v", what, is, should))
	}
}

// refused ends the check unless the call failed; it gives the error's text.
func refused(err error) string {
	if err == nil {
		panic("the call was not refused")
	}
	return err.Error()
}

// until asks again until the answer is yes.
func (s *suite) until(what string, ask func() bool) {
	for !ask() {
		select {
		case <-s.ctx.Done():
			panic("waited in vain until " + what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// next gives what comes from a channel, and ends the check when nothing does.
func next[T any](s *suite, from <-chan T) T {
	select {
	case value, open := <-from:
		if !open {
			panic("the channel was closed")
		}
		return value
	case <-s.ctx.Done():
		panic("nothing came from the channel")
	}
}

// closed ends the check when a channel is not closed in time.
func closed[T any](s *suite, done <-chan T) {
	for {
		select {
		case _, open := <-done:
			if !open {
				return
			}
		case <-s.ctx.Done():
			panic("the channel was not closed")
		}
	}
}
