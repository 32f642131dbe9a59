import { expect, test } from 'vitest'
import { documentFromPath, freshDocumentId, pathOf } from './document-id'

test('the document is the decoded segment behind /d/', () => {
  expect(documentFromPath('/d/notes')).toBe('notes')
  expect(documentFromPath('/d/notes/')).toBe('notes')
  expect(documentFromPath('/d/a%20b%2Fc')).toBe('a b/c')
  expect(documentFromPath('/d/%C3%BC')).toBe('ü')
})

test('a path that names no document, or one that the gateway refuses, gives none', () => {
  for (const path of ['/', '/d', '/d/', '/d/a/b', '/other/a', '/d/%00', '/d/%0A', '/d/%7F', '/d/%FF', '/d/%']) {
    expect(documentFromPath(path), path).toBeNull()
  }
})

test('the longest name has 512 bytes, not characters', () => {
  expect(documentFromPath(`/d/${'x'.repeat(512)}`)).toHaveLength(512)
  expect(documentFromPath(`/d/${'x'.repeat(513)}`)).toBeNull()
  expect(documentFromPath(pathOf('ü'.repeat(256)))).toHaveLength(256)
  expect(documentFromPath(pathOf('ü'.repeat(257)))).toBeNull()
})

test('a path leads back to its document', () => {
  for (const id of ['notes', 'a b/c?d#e', '100%', 'ü🙂']) {
    expect(documentFromPath(pathOf(id))).toBe(id)
  }
})

test('fresh names differ and need no encoding', () => {
  const ids = new Set(Array.from({ length: 200 }, () => freshDocumentId()))
  expect(ids.size).toBe(200)
  for (const id of ids) expect(id).toMatch(/^[a-z2-9]{12}$/)
})
