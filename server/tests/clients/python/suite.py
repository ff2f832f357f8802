"""What every check works with: clients of each member, small assertions, and the one who kills members for us."""

import sys
import time

import etcd3
import grpc

# How long anything may take on a machine that does other things too.
WAIT_MAX = 60


class Suite:
    def __init__(self, options):
        self.endpoints = options.endpoints.split(",")
        self.pki = options.pki
        self.folder = options.folder
        self.client = self.connect()

    def connect(self, member=0, name="machine", **more):
        """A client of one member, with the certificate of that CommonName."""
        host, port = self.endpoints[member].removeprefix("https://").split(":")
        return etcd3.client(
            host=host, port=int(port), ca_cert=f"{self.pki}/ca.pem", timeout=20,
            cert_cert=f"{self.pki}/client-{name}.pem", cert_key=f"{self.pki}/client-{name}.key", **more)

    def revision(self):
        return self.client.get_response("none").header.revision

    @staticmethod
    def ask(what):
        """One line out, one line in: the test that started us does what a client cannot."""
        print(f"ask {what}", flush=True)
        answer = sys.stdin.readline().strip()
        if answer.startswith("cannot"):
            raise AssertionError(answer)
        return answer


def told(pairs, base):
    """Pairs with all that is the same in every run."""
    return " ".join(
        f"{meta.key.decode()}={value.decode()}/c{meta.create_revision - base:+}/m{meta.mod_revision - base:+}/v{meta.version}"
        for value, meta in pairs)


def want(what, found, expected):
    if found != expected:
        raise AssertionError(f"{what} is {found!r}, not {expected!r}")


def refused(call, *arguments, **named):
    """The words of a call that must fail, with the library's name for the failure."""
    try:
        call(*arguments, **named)
    except grpc.RpcError as error:
        return f"{error.code().name} {error.details()}"
    except Exception as error:
        return f"{type(error).__name__} {error}".strip()
    raise AssertionError("the call was not refused")


def until(what, ask):
    end = time.monotonic() + WAIT_MAX
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.05)
