"""A gRPC server that says who it is: an instance of a service.

usage: serve_grpc.py ADDRESS PORT ID. SIGTERM stops it when the calls that it has are answered.
"""

import concurrent.futures
import signal
import sys

import grpc

# Clients look for the instances that there are when a connection ends: this makes them look.
OPTIONS = [("grpc.max_connection_age_ms", 500), ("grpc.max_connection_age_grace_ms", 5000)]


def main():
    address, port, id = sys.argv[1:]
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: id.encode())
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=OPTIONS)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Instance", {"Id": handler})])
    server.add_insecure_port(f"{address}:{port}")
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=5))
    server.wait_for_termination()


main()
