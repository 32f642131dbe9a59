// Socket.IO as a relay, without storage: `node socketio.mjs PORT [REDIS_PORT]`. A client says `join` with a document,
// then `edit` with what everybody else in it shall get.

import { createAdapter } from '@socket.io/redis-adapter'
import { Redis } from 'ioredis'
import { Server } from 'socket.io'

const [port, redis] = process.argv.slice(2).map(Number)
const io = new Server({ transports: ['websocket'], perMessageDeflate: false })
if (redis) {
  const publisher = new Redis(redis, '127.0.0.1')
  io.adapter(createAdapter(publisher, publisher.duplicate()))
}
io.on('connection', (socket) => {
  socket.on('join', async (document) => {
    await socket.join(document)
    socket.data.document = document
    socket.emit('joined')
  })
  socket.on('edit', (edit) => socket.to(socket.data.document).emit('edit', edit))
})
io.listen(port)
