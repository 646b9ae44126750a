// eureka-js-client in a process of its own: told what to do line by line, it answers each with a line of JSON.
// Its module is found by NODE_PATH.
const http = require('http');
const readline = require('readline');
const { Eureka } = require('eureka-js-client');

const options = JSON.parse(process.argv[2]);
const server = new URL(options.url);
const errors = [];
const quiet = () => {};
const noted = (...words) => errors.push(words.map(String).join(' '));
const client = new Eureka({
  logger: { debug: quiet, info: quiet, warn: noted, error: noted, level: quiet },
  instance: {
    app: options.app,
    instanceId: options.id || undefined,
    hostName: '127.0.0.1',
    ipAddr: '127.0.0.1',
    port: { $: options.port, '@enabled': true },
    vipAddress: options.app,
    dataCenterInfo: {
      '@class': 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo',
      name: 'MyOwn',
    },
  },
  eureka: {
    host: server.hostname,
    port: server.port,
    servicePath: '/eureka/v2/apps/',
    heartbeatInterval: 1000,
    registryFetchInterval: 500,
    requestRetryDelay: 100,
    maxRetries: 50,
  },
  // Beside `eureka` and not in it: the client looks for it there.
  shouldUseDelta: options.delta === true,
  requestMiddleware: (request, done) => {
    if (server.username) request.auth = { user: server.username, password: server.password };
    done(request);
  },
});

const calls = {
  seen: async (app) =>
    client.getInstancesByAppId(app).filter((one) => one.status === 'UP').map((one) => one.instanceId || one.hostName).sort(),
  vip: async (vip) => client.getInstancesByVipAddress(vip).map((one) => one.instanceId || one.hostName).sort(),
  errors: async () => errors,
  fetch: (app, path) => new Promise((resolve, reject) => {
    const [one] = client.getInstancesByAppId(app);
    http.get(`http://${one.ipAddr}:${one.port.$}${path}`, (reply) => {
      let text = '';
      reply.on('data', (part) => { text += part; });
      reply.on('end', () => resolve(text));
    }).on('error', reject);
  }),
  stop: () => new Promise((resolve) => client.stop(() => resolve(null))),
};

const say = (value) => console.log(JSON.stringify(value === undefined ? null : value));
client.start((error) => {
  say(error ? String(error) : 'started');
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    const [call, ...words] = line.split(' ');
    calls[call](...words).then(say, (failure) => say({ failure: String(failure) }));
  }).on('close', () => process.exit(0));
});
