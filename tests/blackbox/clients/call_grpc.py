"""Calls a gRPC service by name, with the policy round_robin.

usage: call_grpc.py NAME:PORT. Each line `call N` of standard input is answered with the ids of the instances that
answered N calls, in turn; `! reason` when a call fails.
"""

import json
import sys

import grpc

POLICY = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
OPTIONS = [
    ("grpc.service_config", POLICY),
    # It asks again when a connection ends, and at most this often; as it comes, every 30 s.
    ("grpc.dns_min_time_between_resolutions_ms", 100),
]


def main():
    channel = grpc.insecure_channel(f"dns:///{sys.argv[1]}", OPTIONS)
    call = channel.unary_unary("/test.Instance/Id")
    for line in sys.stdin:
        try:
            count = int(line.split()[1])
            print(*(call(b"", wait_for_ready=True, timeout=10).decode() for _ in range(count)))
        except grpc.RpcError as error:
            print("!", error.code(), error.details())


main()
