// One stream of hints for all tabs of this page: the seventh stream over HTTP/1.1 would hang.
const tabs = new Set();
let stream = null, address = null;

function tell(message) { for (const tab of tabs) tab.postMessage(message); }

function tune() {
  if (tabs.size && !stream) {
    stream = new EventSource(address);
    stream.addEventListener('hint', event => tell({ kind: 'hint', version: event.data }));
    stream.addEventListener('beat', () => tell({ kind: 'beat' }));
    stream.addEventListener('trouble', event => tell({ kind: 'trouble', words: event.data }));
    stream.onerror = () => tell({ kind: 'lost' });
  } else if (!tabs.size && stream) {
    stream.close();
    stream = null;
  }
}

onconnect = connected => {
  const tab = connected.ports[0];
  tab.onmessage = event => {
    if (event.data.kind === 'look') { address = event.data.address; tabs.add(tab); }
    if (event.data.kind === 'leave') tabs.delete(tab);
    tune();
  };
};
