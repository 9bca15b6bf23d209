// A visit to a shop: what the visitor looks at is stored in the background, and the page shows what kith recommends.
//
//     node build/examples/shop.js localhost:7801
//     KITH_API_KEY=kith_... node build/examples/shop.js a.example.com:7801 certs/ca.crt

import { readFileSync } from "node:fs";

import { Behavior, Client, type ClientOptions, Kind, atMost } from "../src/index.js"; // from "kith" elsewhere

const [addr = "localhost:7801", ca] = process.argv.slice(2);
const options: ClientOptions = {};
if (ca !== undefined) {
  options.tls = { ca: readFileSync(ca) };
}
const key = process.env["KITH_API_KEY"];
if (key) {
  options.token = key;
}

const client = new Client([addr], options);
try {
  const products = Array.from({ length: 9 }, (_, i) => ({ key: `i${i + 1}`, attributes: { category: "shoes", price: 10 * (i + 1), stock: i % 3 } }));
  await client.put(Kind.Product, products);
  const appender = client.appender({ lost: (event, why) => console.error(`event ${event.id} was not stored:`, why) });
  for (let i = 1; i <= 3; i++) {
    await appender.add({ user: "u1", item: `i${i}`, behavior: Behavior.View });
    await appender.add({ user: "u2", item: `i${i + 1}`, behavior: Behavior.Purchase });
  }
  await appender.close();
  const answer = await client.recommend({ user: "u1", n: 5, filter: { conditions: [atMost("price", 50)] } });
  console.log("for u1:", answer.items.map((i) => i.item).join(", ") || "nothing");
  if (answer.fallback !== "") {
    console.log("popularity filled up, since", answer.fallback);
  }
} finally {
  await client.close();
}
