"""A collector of traces: reads what comes to /v1/traces with PyPI opentelemetry-proto, and prints each span as one line of JSON. At /hook it is a backend behind webhooks
that accepts everything, and prints which trace it was asked in. Its first line is the port.

The argument says how it answers: `ok`, `refuse` (400), `partial` (of each request one span is rejected), `later` (503 once, then as `ok`), or `mute` (never)."""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

MODE = sys.argv[1]
LOCK = threading.Lock()
REQUESTS = 0


def say(line):
    with LOCK:
        print(json.dumps(line), flush=True)


def plain(attributes):
    values = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        values[attribute.key] = getattr(attribute.value, kind)
    return values


def spans(request, headers):
    for of_resource in request.resource_spans:
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield {
                    "span": span.name,
                    "service": plain(of_resource.resource.attributes)["service.name"],
                    "key": headers.get("x-key"),
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "kind": span.kind,
                    "begin": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "now": time.time_ns(),
                    "error": span.status.message if span.status.code == 2 else None,
                    "attributes": plain(span.attributes),
                }


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        global REQUESTS
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/hook":
            event = json.loads(body)
            say({"hook": event["event"], "traceparent": self.headers.get("traceparent")})
            return self.answer(200, b"{}")
        if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/x-protobuf":
            return self.answer(404)
        request = ExportTraceServiceRequest.FromString(body)
        with LOCK:
            REQUESTS += 1
            number = REQUESTS
        if MODE == "mute":
            time.sleep(3600)
        if MODE == "refuse":
            return self.answer(400)
        if MODE == "later" and number == 1:
            return self.answer(503, b"", [("Retry-After", "0")])
        for span in spans(request, self.headers):
            say(span)
        answer = ExportTraceServiceResponse()
        if MODE == "partial":
            answer.partial_success.rejected_spans = 1
            answer.partial_success.error_message = "one is not liked"
        return self.answer(200, answer.SerializeToString())


server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
server.daemon_threads = True
say(server.server_port)
server.serve_forever()
