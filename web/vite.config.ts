import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vitest/config'

const backend = process.env['TSLOOP_REVIEW'] ?? 'http://127.0.0.1:8791'

export default defineConfig({
  plugins: [vue()],
  define: { __VUE_OPTIONS_API__: 'false', __VUE_PROD_DEVTOOLS__: 'false' },
  build: {
    outDir: '../src/tsloop/review/static',
    emptyOutDir: true,
    assetsInlineLimit: 0, // no data: URLs, whatever the policy of the server
    modulePreload: { polyfill: false },
    target: 'es2022',
  },
  server: { proxy: { '/api': backend, '/reports': backend } },
  test: { include: ['tests/**/*.test.ts'], environment: 'node' },
})
