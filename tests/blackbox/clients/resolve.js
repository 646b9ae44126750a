// Asks Node: its own resolver (c-ares) for `resolve4 NAME` and `services NAME`, the C library for `addresses NAME`.
// Each line of standard input is answered with a line of words; `! reason` when it fails.
"use strict";

const dns = require("node:dns").promises;
const readline = require("node:readline");

const lookups = {
  addresses: async (name) => (await dns.lookup(name, { all: true })).map((found) => found.address),
  resolve4: (name) => new dns.Resolver().resolve4(name),
  services: async (name) =>
    (await new dns.Resolver().resolveSrv(name)).map((r) => `${r.priority}:${r.weight}:${r.port}:${r.name}`),
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [verb, name] = line.split(" ");
    try {
      console.log((await lookups[verb](name)).join(" "));
    } catch (error) {
      console.log(`! ${error.code}`);
    }
  }
}

main();
