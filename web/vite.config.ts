import { defineConfig } from 'vite'

export default defineConfig({
  // The page is served at /d/{document}, so its assets need absolute addresses.
  base: '/',
  build: {
    target: 'es2022',
    // ProseMirror and Yjs are most of it, and the page needs all of it at once.
    chunkSizeWarningLimit: 700,
  },
  server: {
    // For `npm run dev` beside `cargo run -p gateway`.
    proxy: { '/yjs': { target: 'ws://localhost:8080', ws: true } },
  },
})
