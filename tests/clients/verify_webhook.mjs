// Asks the published JavaScript library of Standard Webhooks about one message, given as JSON on stdin.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const { secret, headers, body } = JSON.parse(readFileSync(0, "utf8"));
const lower = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
let said;
try {
  said = { payload: new Webhook(secret).verify(body, lower) };
} catch (error) {
  said = { error: error.message };
}
process.stdout.write(JSON.stringify(said));
