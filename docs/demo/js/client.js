/** The worker as functions: `await client.encode({wave}, progress)`. */
export function startWorker() {
  const worker = new Worker(new URL("worker.js", import.meta.url), {type: "module"});
  const waiting = new Map();
  let number = 0;
  worker.onmessage = ({data: {id, result, error, progress}}) => {
    const {resolve, reject, tell} = waiting.get(id);
    if (progress !== undefined) return tell(progress);
    waiting.delete(id);
    if (error === undefined) resolve(result);
    else reject(new Error(error));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    for (const {reject} of waiting.values()) reject(new Error(event.message || "the worker did not start"));
    waiting.clear();
  };
  return new Proxy({}, {
    get: (_, task) => (given = {}, tell = () => {}) =>
      new Promise((resolve, reject) => {
        waiting.set(++number, {resolve, reject, tell});
        worker.postMessage({id: number, task, ...given});
      }),
  });
}
