// Load by k6 (https://k6.io): calls at a constant rate, whether earlier calls were answered or not (open loop).
//
//   k6 run -e SERVER=127.0.0.1:50051 -e RATE=20 -e SECONDS=30 benchmarks/load/k6.js
//
// The exit status is 99 if a threshold is missed. Variables besides SERVER, RATE and SECONDS, with their defaults:
//   TARGET_MS    limit for p99 of answered calls (1000)
//   REFUSED      largest share of calls that the server may refuse for lack of room (0.01)
//   IMAGES       JPEG files, separated by commas (the example's photograph)
//   VUS          largest number of simultaneous calls of k6 (RATE); dropped_iterations counts the calls it could not send
//   PROTO_PATHS  absolute folders with the contract and google/rpc/status.proto, separated by commas (server reflection)
//   TLS, CA      TLS=1: use TLS; CA: PEM file of the trusted authorities
//   TOKEN        sent as authorization: Bearer
import { check } from 'k6';
import encoding from 'k6/encoding';
import exec from 'k6/execution';
import grpc from 'k6/net/grpc';
import { Rate, Trend } from 'k6/metrics';

const rate = Number(__ENV.RATE || 10);
const seconds = Number(__ENV.SECONDS || 30);
const files = (__ENV.IMAGES || import.meta.resolve('../../examples/photos/astronaut.jpg'))
  .split(',')
  .map((path) => new Uint8Array(open(path, 'b')));
const authorities = __ENV.CA ? open(__ENV.CA) : null; // k6 can read files only here

const answered = new Trend('answered_ms', true);
const late = new Trend('sent_after_due_ms', true);
const refused = new Rate('refused');
const failed = new Rate('failed');

export const options = {
  scenarios: {
    calls: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: `${seconds}s`,
      preAllocatedVUs: Number(__ENV.VUS || Math.max(2, Math.ceil(rate))),
    },
  },
  thresholds: {
    answered_ms: [`p(99)<${__ENV.TARGET_MS || 1000}`],
    refused: [`rate<=${__ENV.REFUSED || 0.01}`],
    failed: ['rate==0'],
    dropped_iterations: ['count==0'], // otherwise k6 was too slow
  },
  summaryTrendStats: ['med', 'p(90)', 'p(99)', 'max'],
};

const client = new grpc.Client();
if (__ENV.PROTO_PATHS) {
  client.load(__ENV.PROTO_PATHS.split(','), 'superpixel/v1/superpixel.proto');
}
let connected = false;

function connect() {
  const how = { plaintext: !__ENV.TLS, reflect: !__ENV.PROTO_PATHS, maxReceiveSize: 1 << 28, maxSendSize: 1 << 28 };
  if (authorities) {
    how.tls = { cacerts: [authorities] };
  }
  if (__ENV.TOKEN) {
    how.reflectMetadata = { authorization: `Bearer ${__ENV.TOKEN}` };
  }
  client.connect(__ENV.SERVER || '127.0.0.1:50051', how);
  connected = true;
}

// Returns the file with other quantization steps, as benchmarks/load/images.py does: its pixels differ, so no cache knows it.
function different(number) {
  const file = files[number % files.length].slice();
  for (let at = 0; at < file.length; at += 1) {
    if (file[at] === 0xff && file[at + 1] === 0xdb) {
      for (let bit = 0; bit < 24; bit += 1) {
        file[at + 11 + bit] = Math.min(255, file[at + 11 + bit] + ((number >> bit) & 1));
      }
      return file;
    }
  }
  throw new Error('IMAGES: must be JPEG files');
}

export default function () {
  if (!connected) {
    connect();
  }
  const file = different(exec.scenario.iterationInTest);
  const metadata = __ENV.TOKEN ? { authorization: `Bearer ${__ENV.TOKEN}` } : {};
  const { startTime, iterationInTest } = exec.scenario;
  const due = startTime + (1000 * iterationInTest) / rate;
  const request = { encoded_image: encoding.b64encode(file.buffer), target_counts: [400, 100], include_hierarchy: true };
  late.add(Date.now() - due);
  const response = client.invoke('superpixel.v1.SuperpixelService/Segment', request, { metadata, timeout: '30s' });
  const full = response.status === grpc.StatusResourceExhausted;
  refused.add(full);
  failed.add(!full && response.status !== grpc.StatusOK);
  if (response.status === grpc.StatusOK) {
    answered.add(Date.now() - due); // from the due time, so a late k6 does not shorten times
    check(response.message, { 'has a label map': (message) => message.labelMap.data.length > 0 });
  }
}
