// Charts of the metrics screen, drawn from the table that stands below them: so that both say the same.
const strokes = ['#2f7db8', '#c8452f', '#8a6d00'];
const dashes = [[], [6, 3], [2, 3]];
const drawn = new Map();

// uPlot shows one point alone in years; here a chart spans an hour at the least.
function span(chart, low, high) {
  const times = chart.data[0];
  const end = times.length === 1 ? times[0] : high;
  return [Math.min(low, end - 3600), end];
}

function draw() {
  const rows = [...document.querySelectorAll('#points tr[data-at]')];
  const ink = getComputedStyle(document.documentElement).getPropertyValue('color') || '#888';
  for (const place of document.querySelectorAll('[data-chart]')) {
    const wanted = place.dataset.chart.split(' ').map(one => one.split(':'));
    const scale = place.dataset.unit === 's' ? 1e6 : 1;
    const times = rows.map(row => Number(row.dataset.at) / 1e6);
    const lines = wanted.map(([name]) => rows.map(row => {
      const value = row.getAttribute(`data-${name}`);
      return value === '' || value === null ? null : Number(value) / scale;
    }));
    if (drawn.has(place)) { drawn.get(place).setData([times, ...lines]); continue; }
    const axis = { stroke: ink, grid: { stroke: '#8884', width: 1 }, ticks: { stroke: '#8884', width: 1 } };
    drawn.set(place, new uPlot({
      width: place.clientWidth || 400,
      height: 190,
      scales: { x: { range: span } },
      tzDate: at => uPlot.tzDate(new Date(at * 1e3), 'Etc/UTC'),
      series: [{ label: 'UTC' }, ...wanted.map(([, label], at) => ({
        label, stroke: strokes[at], width: 1.5, dash: dashes[at], spanGaps: false, points: { show: rows.length < 60 },
      }))],
      axes: [axis, { ...axis, size: 56 }],
    }, [times, ...lines], place));
  }
}
function fit() {
  for (const [place, chart] of drawn) chart.setSize({ width: place.clientWidth || 400, height: 190 });
}
draw();
addEventListener('resize', fit);
document.addEventListener('dutiful:fresh', draw);
