// Draws the curves of a page with Plotly, which stands in the page, in the colours of the reader, and in black on white on paper.
"use strict";
(() => {
  const LIGHT = ["#0072b2", "#b34700", "#00785a", "#a8447f", "#1a1a1a", "#2a7fb5", "#8a6100", "#666666", "#8b4513", "#4b0082", "#767676", "#b0122b", "#2f7f7f"];
  const DARK = ["#6cc0f5", "#ff9c57", "#4fd6a8", "#f0a3cf", "#f2f0ed", "#a5d8f7", "#f2c14e", "#b8b8b8", "#d9a06b", "#bfa2ff", "#d0d0d0", "#ff8a94", "#7fd1d1"];
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "6px,3px"];
  const SIGNS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star", "pentagon", "hexagon", "bowtie", "hourglass", "star-square"];
  const dark = matchMedia("(prefers-color-scheme: dark)"), paper = matchMedia("print"), coarse = matchMedia("(pointer: coarse)");
  const boxes = [...document.querySelectorAll(".curve")];

  function axis(title, kind, ink, line, values) {
    const known = values.filter(value => value > 0), decades = Math.log10(Math.max(...known) / Math.min(...known));
    // Over several powers of ten only those are named.
    const powers = kind === "log" && decades > 1.5 ? { dtick: Math.ceil(decades / 8) } : {};
    return { ...powers,
      title: { text: title, standoff: 12 }, type: kind, color: ink, gridcolor: line, linecolor: ink, zeroline: false,
      automargin: true, ...(kind === "log" ? { exponentformat: "power", minor: { ticks: "outside" } } : {}),
    };
  }

  function draw(box) {
    const told = JSON.parse(box.querySelector("script").textContent), place = box.querySelector(".plot");
    const style = getComputedStyle(document.body), ink = style.color;
    const colours = dark.matches && !paper.matches ? DARK : LIGHT;
    const line = style.getPropertyValue("--line"), printed = paper.matches;
    const narrow = printed || place.clientWidth < 640;
    const data = told.series.map((each, at) => ({
      x: each.x, y: each.y, name: each.name, type: "scatter", mode: each.x.length > 60 ? "lines" : "lines+markers",
      line: { color: colours[each.style % colours.length], dash: DASHES[each.style % DASHES.length], width: 2, shape: each.stairs ? "hv" : "linear" },
      marker: { color: colours[each.style % colours.length], symbol: SIGNS[each.style % SIGNS.length], size: 6 },
      hovertemplate: `%{y:.4~g} at %{x}<extra>%{fullData.name}</extra>`, connectgaps: false,
    }));
    const marks = told.marks.map(mark => ({
      type: "line", x0: mark.x, x1: mark.x, yref: "paper", y0: 0, y1: 1, line: { color: ink, width: 1, dash: "dot" },
    }));
    const names = told.marks.map(mark => ({
      text: mark.text, x: told.x === "log" ? Math.log10(mark.x) : mark.x, yref: "paper", y: 1, yanchor: "bottom", xanchor: "auto",
      showarrow: false, font: { color: ink, size: 12 },
    }));
    const across = axis(told.across, told.x, ink, line, told.series.flatMap(each => each.x));
    const up = axis(told.up, told.y, ink, line, told.series.flatMap(each => each.y));
    if (told.x === "linear") across.tickformat = told.whole ? ",d" : "";
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: style.fontFamily, size: 13, color: ink },
      xaxis: across, yaxis: up, shapes: marks, annotations: names, hovermode: "closest", dragmode: coarse.matches ? false : "zoom",
      margin: { l: 10, r: 12, t: names.length ? 26 : 12, b: 10 }, height: 400 + (narrow ? 20 * data.length : 0),
      width: printed ? 640 : undefined, autosize: !printed, showlegend: data.length > 1,
      legend: narrow ? { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0 } : { x: 1.02, y: 1 },
      hoverlabel: { font: { size: 13 } },
    };
    Plotly.react(place, data, layout, { displayModeBar: false, responsive: true, displaylogo: false });
  }

  const drawn = () => boxes.forEach(draw);
  for (const query of [dark, paper]) query.addEventListener("change", drawn);
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawn(); } });
  drawn();
})();
