// Runs Azurite and ends with whoever started it, however that one ended: the other end of our
// standard input closes then. An emulator nobody knows of must never stay behind.
'use strict';

const GRACE_MS = 2000; // Azurite's own leave-taking writes its files

process.stdin.resume();
process.stdin.once('end', () => process.kill(process.pid, 'SIGTERM'));
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    process.stdin.destroy(); // else it keeps the process alive
    setTimeout(() => process.exit(0), GRACE_MS).unref();
  });
}

require('azurite/dist/src/azurite.js');
