// Hocuspocus as its users run it, without storage: `node hocuspocus.mjs PORT [REDIS_PORT]`.

import { Redis } from '@hocuspocus/extension-redis'
import { Server } from '@hocuspocus/server'

const [port, redis] = process.argv.slice(2).map(Number)
const extensions = redis ? [new Redis({ host: '127.0.0.1', port: redis })] : []
const server = new Server({ address: '127.0.0.1', port, quiet: true, extensions })
await server.listen()
