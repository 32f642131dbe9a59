import { expect, test } from 'vitest'
import { present } from './session'
import { socketUrl } from './socket-url'
import { statusOf } from './status'
import { target } from './toolbar'

test('the socket is on the page’s own server, over TLS when the page is', () => {
  expect(socketUrl({ protocol: 'http:', host: 'localhost:8080' })).toBe('ws://localhost:8080/yjs')
  expect(socketUrl({ protocol: 'https:', host: 'docs.example' })).toBe('wss://docs.example/yjs')
})

test('the status tells a first connection, a lost one, no network and a refusal apart', () => {
  const up = { online: true, synced: true, everSynced: true, refused: null }
  expect(statusOf(up).kind).toBe('connected')
  expect(statusOf({ ...up, synced: false, everSynced: false }).kind).toBe('connecting')
  expect(statusOf({ ...up, synced: false }).kind).toBe('reconnecting')
  expect(statusOf({ ...up, synced: false, online: false }).kind).toBe('offline')
  // A server on this machine needs no network.
  expect(statusOf({ ...up, online: false }).kind).toBe('connected')
  expect(statusOf({ ...up, synced: false, refused: 'no access' })).toEqual({
    kind: 'refused',
    text: 'Refused: no access',
  })
})

test('the list of people starts with oneself and goes on by name', () => {
  const states = new Map<number, Record<string, unknown>>([
    [1, { user: { name: 'Zoe' } }],
    [2, { user: { name: 'Bob' } }],
    [3, { user: { name: 'Me' } }],
    [4, {}],
  ])
  const names = present(states, 3).map(({ name, isSelf }) => (isSelf ? `${name}*` : name))
  expect(names).toEqual(['Me*', 'Bob', 'Somebody', 'Zoe'])
})

test('the arrow keys go round in the toolbar', () => {
  expect(target('ArrowRight', 4, 5)).toBe(0)
  expect(target('ArrowLeft', 0, 5)).toBe(4)
  expect(target('Home', 3, 5)).toBe(0)
  expect(target('End', 0, 5)).toBe(4)
  expect(target('Tab', 0, 5)).toBeNull()
})
