"""A visit to a shop: what the visitor looks at is stored in the background, and the page shows what kith recommends.

    python examples/shop.py localhost:7801
    KITH_API_KEY=kith_... python examples/shop.py a.example.com:7801 --ca certs/ca.crt
"""

import argparse
import os
import sys
from typing import Union

import kith


def lost(event: kith.Event, why: Union[kith.Rejection, Exception]) -> None:
    print(f"event {event.id} was not stored: {why}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("addr", nargs="+", help="host:port of a server")
    parser.add_argument("--ca", help="PEM file of the authority of the servers")
    args = parser.parse_args()

    tls = kith.TLS.of_files(args.ca) if args.ca else None
    with kith.Client(args.addr, tls=tls, token=os.environ.get("KITH_API_KEY")) as client:
        client.put(kith.Kind.PRODUCT, [kith.Record(f"i{i}", {"category": "shoes", "price": 10 * i, "stock": i % 3}) for i in range(1, 10)])
        with client.appender(lost=lost) as appender:
            for i in range(1, 4):
                appender.add(kith.Event("u1", f"i{i}", kith.VIEW))
                appender.add(kith.Event("u2", f"i{i + 1}", kith.PURCHASE))
            appender.flush()
        answer = client.recommend("u1", n=5, filter=kith.Filter([kith.at_most("price", 50)]))
        print("for u1:", ", ".join(item.item for item in answer.items) or "nothing")
        if answer.fallback:
            print("popularity filled up, since", answer.fallback)
    return 0


if __name__ == "__main__":
    sys.exit(main())
