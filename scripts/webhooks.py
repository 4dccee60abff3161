"""Walks reserve, commit, webhook as a stranger does; see scripts/test-webhooks."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

PROGRAM, DATA = sys.argv[1:]
RESERVATIONS = 60


class Receiver:
    """Takes webhooks on this machine, over TLS where it has a certificate."""

    def __init__(self, certificate=None):
        self.received, self.fails = [], set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.received.append((dict(self.headers.items()), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://localhost:{self.server.server_address[1]}/hooks"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Banyan:
    """The program, which can be killed and started again."""

    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        env = dict(os.environ, BANYAN_NOTIFICATIONS__ALLOW_PRIVATE_TARGETS="true", SSL_CERT_FILE=f"{DATA}/authority.pem")
        args = [PROGRAM, "up", "--listen", f"127.0.0.1:{self.port}", "--data", f"{DATA}/banyan"]
        with open(f"{DATA}/log", "ab") as log:
            self.process = subprocess.Popen(args, env=env, stderr=log)
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{self.url}/health/ready", timeout=5).read()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit("The program does not become ready:\n" + open(f"{DATA}/log").read())

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def eventually(what, condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    sys.exit(f"Waited a minute for this: {what}\n" + open(f"{DATA}/log").read()[-4000:])


def generated_client(url):
    """A client that is made of nothing but the document that the program serves."""
    with urllib.request.urlopen(f"{url}/openapi.json") as answer, open(f"{DATA}/openapi.json", "wb") as kept:
        kept.write(answer.read())
    generate = ["openapi-python-client", "generate", "--path", f"{DATA}/openapi.json", "--output-path", f"{DATA}/shop"]
    done = subprocess.run([*generate, "--meta", "none"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"No client can be generated from /openapi.json:\n{done.stdout}{done.stderr}")
    sys.path.insert(0, DATA)


def is_signed_with(secret, headers, body):
    try:
        Webhook(secret).verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


def walk(banyan):
    from shop import Client
    from shop.api.stock_and_reservations import commit_reservation, move_stock, reserve
    from shop.api.webhooks import (
        get_webhook_endpoint,
        list_webhook_deliveries,
        rotate_webhook_secret,
        set_webhook_endpoint,
        test_webhook_endpoint,
    )
    from shop.models import (
        ListWebhookDeliveriesStatus,
        MoveStockBodyType0,
        ReserveBody,
        ReserveBodyLinesItem,
        RotateWebhookSecretBody,
        SetWebhookEndpointBody,
    )

    client = Client(base_url=banyan.url, timeout=30)
    plain, tls = Receiver(), Receiver((f"{DATA}/receiver.pem", f"{DATA}/receiver.key"))
    stranger = Receiver()

    def register(name, receiver, types):
        body = SetWebhookEndpointBody(url=receiver.url, types=types)
        answer = set_webhook_endpoint.sync_detailed(name, client=client, body=body)
        assert answer.status_code == 201, answer
        return answer.parsed.secret

    secret = register("warehouse", plain, ["StockReserved", "StockCommitted"])
    over_tls = register("over-tls", tls, ["StockCommitted"])
    register("stranger", stranger, ["OrderPlaced"])

    goods = MoveStockBodyType0(type_="receive", sku="TEA-250", warehouse="main", quantity=10_000)
    assert move_stock.sync_detailed("delivery-1", client=client, body=goods).status_code == 201

    def buy(name):
        line = ReserveBodyLinesItem(sku="TEA-250", quantity=1)
        reserved = reserve.sync_detailed(name, client=client, body=ReserveBody(lines=[line]))
        assert reserved.status_code in (200, 201), reserved
        committed = commit_reservation.sync_detailed(name, client=client)
        assert committed.status_code == 200, committed

    buy("basket-0")
    eventually("a webhook of what was reserved and committed", lambda: len(plain.received) >= 2)
    eventually("a webhook over TLS", lambda: len(tls.received) >= 1)
    for headers, body in plain.received:
        event = Webhook(secret).verify(body, headers)
        assert event["data"]["reservation"] == "basket-0", event
        assert event["id"] == headers["webhook-id"], headers
        assert not is_signed_with(over_tls, headers, body), "another endpoint's secret"
        assert not is_signed_with(secret, headers, body.replace(b"basket-0", b"basket-1")), "another body"
        assert not is_signed_with(secret, {**headers, "webhook-id": "another"}, body), "another id"
    assert is_signed_with(over_tls, *tls.received[0])

    rotated = rotate_webhook_secret.sync("warehouse", client=client, body=RotateWebhookSecretBody(overlap_secs=600))
    assert test_webhook_endpoint.sync_detailed("warehouse", client=client).status_code == 202
    eventually("a webhook that was asked for", lambda: len(plain.received) >= 3)
    for each in (secret, rotated.secret):
        assert is_signed_with(each, *plain.received[-1]), "while they overlap, both verify"
    shown = get_webhook_endpoint.sync("warehouse", client=client)
    assert shown.status == "active" and not shown.secret, shown

    def delivered():
        page = list_webhook_deliveries.sync("warehouse", client=client, status=ListWebhookDeliveriesStatus.DELIVERED)
        return len(page.items) == 3

    eventually("the log of deliveries", delivered)

    # The program is killed while it sells; whatever was answered is told of all the same.
    sold, stop = [], threading.Event()

    def sell():
        number = 0
        while len(sold) < RESERVATIONS and not stop.is_set():
            number += 1
            try:
                buy(f"sale-{number}")
                sold.append(f"sale-{number}")
            except Exception:
                time.sleep(0.05)

    seller = threading.Thread(target=sell)
    seller.start()
    for _ in range(3):
        time.sleep(0.5)
        banyan.kill()
        banyan.start()
    seller.join(60)
    stop.set()
    assert len(sold) >= RESERVATIONS, f"only {len(sold)} were sold"

    def told():
        events = [json.loads(body) for _, body in list(plain.received)]
        committed = {event["data"]["reservation"] for event in events if event["type"] == "StockCommitted"}
        return committed.issuperset(sold)

    eventually("a webhook of everything that was committed before and after each kill", told)
    texts = {}
    for headers, body in plain.received:
        assert is_signed_with(rotated.secret, headers, body) or is_signed_with(secret, headers, body)
        assert texts.setdefault(headers["webhook-id"], body) == body, "what comes twice is the same"
    assert not stranger.received, "nothing was sent that was not asked for"
    print(f"{len(plain.received)} webhooks of {len(texts)} events, each verified; {len(tls.received)} over TLS")


banyan = Banyan()
try:
    generated_client(banyan.url)
    walk(banyan)
finally:
    banyan.kill()
