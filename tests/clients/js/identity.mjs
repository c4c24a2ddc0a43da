// For each line of standard input: who AWS says that we are, by the SDK's own chain of credentials.
import { createInterface } from "node:readline";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

const client = new STSClient({});
for await (const _ of createInterface({ input: process.stdin })) {
  try {
    console.log((await client.send(new GetCallerIdentityCommand({}))).Arn);
  } catch (error) {
    console.log(`${error.name}: ${error.message}`.replaceAll("\n", " "));
  }
}
