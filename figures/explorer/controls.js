// What happens when a control of the first tab is moved: data of the panels, and the numbers beside them.
const Explorer = (() => {
  const POWERS = Array.from({ length: 281 }, (_, k) => 0.2 + 0.01 * k);
  const NAMES = ["drift", "rms", "progress"];
  let waiting, seed = 1;

  const shown = (value, digits = 4) =>
    Number.isFinite(value) ? Number(value.toPrecision(digits)).toString() : "not computed";
  const write = (id, text) => { document.getElementById(id).textContent = text; };

  // The setting that the controls show, and its curves.
  function chosen(parts) {
    const value = name => parts.controls[name].value;
    const [beta1, beta2] = value("betas").split(" ").map(Number);
    const setting = {
      law: value("law"), ratio: Number(value("ratio")), beta1, beta2,
      level: GRIDS.levels.find(each => each.name === value("level")), range: GRIDS.range,
    };
    const curve = GRIDS.curves.find(each => each.law === setting.law && each.beta1 === beta1 &&
      each.beta2 === beta2 && each.noise_to_signal === setting.ratio && each.level === setting.level.name);
    return { setting, curve, power: value("power") };
  }

  function drawDensities(parts, { setting, power }) {
    const grid = Array.from({ length: 601 }, (_, k) => -3 + 0.01 * k);
    const { places, plain, powered } = NoiseModel.densities(setting, power, grid);
    const stems = values => ({ x: values || [], top: (values || []).map(() => 0.5) });
    // one point that is nowhere keeps the samples in the legend
    parts.sources.densities.data = plain ? { x: grid, plain, powered } : { x: [0], plain: [NaN], powered: [NaN] };
    parts.sources.stems.data = stems(places);
    parts.sources.powered_stems.data = stems(places && powered);
    // near 0 the density of φ_p(g) may have a pole
    const away = plain ? powered.filter((value, k) => Math.abs(grid[k]) > 0.1 && Number.isFinite(value)) : [];
    const most = plain ? Math.max(...plain.filter(Number.isFinite)) : 0.6;
    parts.density_range.end = 1.1 * Math.max(most, Math.min(Math.max(0, ...away), 3 * most));
  }

  function drawCurves(parts, { setting, curve, power }) {
    const data = { power: POWERS }, best = { power: [], share: [] };
    for (const name of NAMES) {
      const values = POWERS.map(p => NoiseModel.exact(setting, curve, name, p));
      const most = Math.max(...values), at = values.indexOf(most);
      data[name] = values;
      data[`${name}_share`] = values.map(value => value / most);
      write(name, shown(NoiseModel.exact(setting, curve, name, power)));
      if (name === "rms") continue;
      const flat = most - Math.min(...values) < GRIDS.errors[name] * most; // as for binary noise at σ = μ
      const edge = at === 0 ? "≤ " : at === POWERS.length - 1 ? "≥ " : "";
      write(`best_${name}`, at < 0 ? "not computed" : flat ? "all alike" : edge + POWERS[at].toFixed(2));
      if (at >= 0 && !flat) best.power.push(POWERS[at]), best.share.push(1);
    }
    parts.sources.curves.data = data;
    parts.sources.best.data = best;
    parts.marker.location = power;
  }

  function drawMonteCarlo(parts, { setting, curve, power }) {
    const { first, average, error } = NoiseModel.monteCarlo(setting, power, seed);
    const drift = NoiseModel.exact(setting, curve, "drift", power);
    const step = Array.from(first, (_, t) => t + 1), last = step.length - 1;
    parts.sources.steps.data = {
      step, first: Array.from(first), average: Array.from(average), exact: step.map(() => drift),
      low: Array.from(average, (value, t) => value - 2 * error[t]),
      high: Array.from(average, (value, t) => value + 2 * error[t]),
    };
    write("measured", `${shown(average[last])} ± ${shown(error[last], 2)}`);
    write("seed", String(seed));
  }

  // Called by every control, and once when the page is there; `again` takes fresh noise.
  function update(parts, again = false) {
    if (again) seed += 1;
    const now = chosen(parts);
    drawDensities(parts, now);
    drawCurves(parts, now);
    for (const name of ["power", "ratio"]) { // Bokeh leaves its sliders without names
      const slider = document.querySelector(`#control-${name} [data-root-id]`).firstElementChild.shadowRoot;
      slider.querySelector("[role=slider]").setAttribute("aria-label", parts.controls[name].title);
    }
    write("measured", "…");
    clearTimeout(waiting); // while a slider moves, only its last place is simulated
    waiting = setTimeout(() => drawMonteCarlo(parts, now), 80);
  }

  // Show one tab, by its button.
  function openTab(button) {
    for (const tab of document.querySelectorAll("[role=tab]")) {
      const open = tab === button;
      tab.setAttribute("aria-selected", String(open));
      tab.tabIndex = open ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !open;
    }
    button.focus();
  }

  document.addEventListener("keydown", event => {
    if (event.target.getAttribute?.("role") !== "tab" || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    openTab([...document.querySelectorAll("[role=tab]")].find(tab => tab !== event.target));
  });

  return { update, openTab };
})();
