// The peer: @supabase/lite on the PostgreSQL of the measurement. Arguments: port, URL, secret, socket folder (or -).
import { serve } from "@hono/node-server"
import { App } from "@supabase/lite"
import { createPostgresConnection } from "@supabase/lite/postgres"

const [port, url, secret, socket] = process.argv.slice(2)
const postgresOptions = { max: 10, onnotice: () => {}, connection: { search_path: "public" } }
if (socket !== "-") postgresOptions.path = socket
const app = new App({
  connection: createPostgresConnection({ url, postgresOptions }),
  api: { enabled: true, schemas: ["public"], extra_search_path: ["public"], anonymous_enabled: true },
  auth: { enabled: false, jwt_secret: secret },
  storage: { enabled: false },
  studio: { enabled: false },
  options: { server: { apiKeys: false } },
})
if (app.build) await app.build()
serve({ fetch: (request) => app.fetch(request), port: Number(port), hostname: "127.0.0.1" })
