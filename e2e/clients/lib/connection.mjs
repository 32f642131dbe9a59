// A real y-websocket client of one document, and the count of what happened to its connection.

import WebSocket from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

/** The name of the shared text that these clients write. */
const TEXT = 'text'

export class Connection {
  #downSince = performance.now()
  #everUp = false
  #onChange

  /**
   * Connects at once. `url` is that of the y-websocket endpoint, such as `ws://host:8080/yjs`;
   * `onChange(event, fields)` hears of every sync, loss and error. `doc` and `Socket`, the class of its WebSockets, are
   * for those who want to see what goes in and out; all other options are y-websocket's own.
   */
  constructor(url, document, onChange = () => {}, { doc = new Y.Doc(), Socket = WebSocket, ...options } = {}) {
    this.#onChange = onChange
    this.url = url
    this.doc = doc
    this.text = this.doc.getText(TEXT)
    this.reconnects = 0
    /** The longest time in seconds for which this client was without a synced connection after its first. */
    this.longestOutage = 0
    this.provider = new WebsocketProvider(url, encodeURIComponent(document), this.doc, {
      WebSocketPolyfill: Socket,
      // The clients of one process would otherwise hear each other without the server.
      disableBc: true,
      ...options,
    })
    this.provider.on('sync', (synced) => {
      if (synced) {
        if (this.#everUp) {
          this.reconnects += 1
          this.longestOutage = Math.max(this.longestOutage, this.secondsDown)
        }
        this.#everUp = true
        this.#downSince = null
      } else {
        this.#downSince ??= performance.now()
      }
      this.#onChange(synced ? 'synced' : 'lost', { url })
    })
    this.provider.on('connection-close', (close) => this.#onChange('closed', { url, code: close?.code ?? null }))
    this.provider.on('connection-error', (error) => this.#onChange('error', { url, message: error?.message ?? '' }))
    this.provider.on('closed', ({ code, reason }) => this.#onChange('refused', { url, code, reason }))
  }

  /** Connected, and the server's whole document is here. */
  get up() {
    return this.provider.synced
  }

  /** Seconds since the connection was lost (before the first: since the start); 0 while it is up. */
  get secondsDown() {
    return this.#downSince === null ? 0 : (performance.now() - this.#downSince) / 1000
  }

  /** Bytes that the socket has taken but not yet given to the network. */
  get buffered() {
    return this.provider.ws?.bufferedAmount ?? 0
  }

  /** Waits for the first sync. */
  ready(deadline) {
    return deadline.until(
      `a synced connection to ${this.url}`,
      () => this.up,
      (look) => this.listen('sync', look),
    )
  }

  /** Leaves and comes back; waits until it is synced again. */
  async again(deadline) {
    this.provider.disconnect()
    this.provider.connect()
    await this.ready(deadline)
  }

  /** Waits until the text is `expected`. */
  reads(expected, deadline) {
    return deadline.until(
      `the expected text from ${this.url}`,
      // The length is known without building the string, and differs almost always.
      () => this.text.length === expected.length && this.text.toString() === expected,
      (look) => {
        this.doc.on('update', look)
        return () => this.doc.off('update', look)
      },
      () => ({ url: this.url, synced: this.up, ...difference(this.text.toString(), expected) }),
    )
  }

  listen(event, callback) {
    this.provider.on(event, callback)
    return () => this.provider.off(event, callback)
  }

  /** Closes the connection for good; `onChange` hears nothing of that. */
  leave() {
    this.#onChange = () => {}
    this.provider.destroy()
    this.doc.destroy()
  }
}

/** Where and how two texts part. */
function difference(actual, expected) {
  let at = 0
  while (at < actual.length && at < expected.length && actual[at] === expected[at]) at += 1
  const around = (text) => text.slice(Math.max(0, at - 10), at + 20)
  return {
    length: actual.length,
    expected: expected.length,
    differsAt: at,
    here: around(actual),
    wanted: around(expected),
  }
}
