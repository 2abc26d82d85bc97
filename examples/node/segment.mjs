// Segments one photograph: node segment.mjs PHOTO.jpg OUT.spx COUNT...
//
// SUPERPIXEL_SERVER is the server's address (default 127.0.0.1:50051). Exit status 0: OUT.spx is written.

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const protos = fileURLToPath(new URL("../../protos", import.meta.url));

const contract = protoLoader.loadSync("superpixel/v1/superpixel.proto", {
  includeDirs: [protos],
  keepCase: true,
  enums: String,
  longs: Number,
  defaults: true,
});
const { SuperpixelService } = grpc.loadPackageDefinition(contract).superpixel.v1;

// Retry only these two codes: the server is full (it says how long to wait), or it is stopping.
const serviceConfig = {
  methodConfig: [
    {
      name: [{ service: "superpixel.v1.SuperpixelService" }],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.1s",
        maxBackoff: "5s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["RESOURCE_EXHAUSTED", "UNAVAILABLE"],
      },
    },
  ],
};

const [photo, out, ...counts] = process.argv.slice(2);
if (counts.length === 0) {
  console.error("usage: node segment.mjs PHOTO.jpg OUT.spx COUNT...");
  process.exit(2);
}

const client = new SuperpixelService(
  process.env.SUPERPIXEL_SERVER ?? "127.0.0.1:50051",
  grpc.credentials.createInsecure(),
  { "grpc.max_receive_message_length": 256 << 20, "grpc.service_config": JSON.stringify(serviceConfig) },
);

const request = {
  encoded_image: await readFile(photo),
  target_counts: counts.map(Number),
  include_hierarchy: true,
};
client.Segment(request, { deadline: Date.now() + 30_000 }, async (error, answer) => {
  client.close();
  if (error) {
    // `details` is text for people; error.metadata holds the google.rpc details for programs.
    console.error(`${grpc.status[error.code]}: ${error.details}`);
    process.exitCode = 1;
    return;
  }
  await writeFile(out, answer.label_map.data);
  console.log(`image: ${answer.width}x${answer.height}, ${answer.base_count} base regions`);
  console.log(`levels: ${answer.levels.map((level) => level.count).join(" ")}`);
  console.log(`wrote: ${out}, ${answer.label_map.data.length} bytes`);
});
