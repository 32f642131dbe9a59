import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { type Person, personFromAwareness } from './person'
import { socketUrl } from './socket-url'
import { type Status, statusOf } from './status'

/** Somebody in the list of those who are here. */
export interface Present extends Person {
  readonly clientId: number
  readonly isSelf: boolean
}

/** One document, connected to the gateway for as long as the page is open. */
export interface Session {
  readonly doc: Y.Doc
  readonly provider: WebsocketProvider
  onStatus(listener: (status: Status) => void): void
  onPeople(listener: (people: readonly Present[]) => void): void
}

export function openSession(document: string, location: Location): Session {
  const doc = new Y.Doc()
  const provider = new WebsocketProvider(socketUrl(location), encodeURIComponent(document), doc)
  let everSynced = false
  let refused: string | null = null
  return {
    doc,
    provider,
    onStatus(listener) {
      const tell = () => {
        listener(statusOf({ online: navigator.onLine, synced: provider.synced, everSynced, refused }))
      }
      provider.on('sync', (synced) => {
        everSynced ||= synced
        tell()
      })
      provider.on('closed', ({ reason }) => {
        refused = reason
        tell()
      })
      window.addEventListener('online', tell)
      window.addEventListener('offline', tell)
      tell()
    },
    onPeople(listener) {
      const { awareness } = provider
      const tell = () => {
        listener(present(awareness.getStates(), doc.clientID))
      }
      awareness.on('change', tell)
      tell()
    },
  }
}

/** Those who are here: oneself first, the others by name. */
export function present(states: ReadonlyMap<number, Record<string, unknown>>, self: number): Present[] {
  return Array.from(states, ([clientId, { user }]) => ({
    ...personFromAwareness(user),
    clientId,
    isSelf: clientId === self,
  })).sort((a, b) => Number(b.isSelf) - Number(a.isSelf) || a.name.localeCompare(b.name) || a.clientId - b.clientId)
}
