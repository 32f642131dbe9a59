/** What is known about the connection. */
export interface Link {
  /** The browser has a network. */
  readonly online: boolean
  /** The socket is open and the server's whole document is here. */
  readonly synced: boolean
  readonly everSynced: boolean
  /** The server closed the socket and said that coming back is pointless: its reason. */
  readonly refused: string | null
}

export interface Status {
  readonly kind: 'connected' | 'connecting' | 'reconnecting' | 'offline' | 'refused'
  readonly text: string
}

/** What the page says about its connection. */
export function statusOf({ online, synced, everSynced, refused }: Link): Status {
  if (refused !== null) {
    return { kind: 'refused', text: refused === '' ? 'Refused by the server' : `Refused: ${refused}` }
  }
  if (synced) return { kind: 'connected', text: 'Connected' }
  if (!online) return { kind: 'offline', text: 'Offline: changes are sent when you are back' }
  if (everSynced) return { kind: 'reconnecting', text: 'Reconnecting…' }
  return { kind: 'connecting', text: 'Connecting…' }
}
