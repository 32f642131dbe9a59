/** The gateway's y-websocket endpoint: that of the server that served the page, over TLS when the page is. */
export function socketUrl(location: Pick<Location, 'protocol' | 'host'>): string {
  return `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}/yjs`
}
