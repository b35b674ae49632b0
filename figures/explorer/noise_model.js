// The noise model of one coordinate, g = μ + σξ, as the page computes it. All is in units of s = max(μ, σ) for g, and
// of s^p for φ_p(g): there the mean is 1/max(1, σ/μ), the noise σ/μ times that, and ε is ε/s^p.
const NoiseModel = (() => {
  const COORDINATES = 128, SHOWN = 400;

  // Park and Miller's generator: exact in doubles, and the same everywhere.
  function generator(seed) {
    let state = (seed * 7919 + 12345) % 2147483646 + 1;
    const next = () => (state = (state * 48271) % 2147483647) / 2147483647;
    for (let i = 0; i < 10; i++) next(); // the first numbers of neighbouring seeds are alike
    return next;
  }

  const signed = (draw, next) => (next() < 0.5 ? -draw : draw);
  const GENERALIZED = 1 / Math.sqrt(120); // scale at which the density ∝ exp(−√|x|) has unit variance
  const LAWS = {
    "uniform": { density: x => (Math.abs(x) <= 1 ? 0.5 : 0), sample: next => 2 * next() - 1 },
    "binary": { atoms: [-1, 1], sample: next => signed(1, next) },
    "gaussian": {
      density: x => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI),
      sample: next => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next()),
    },
    "laplace": {
      density: x => Math.exp(-Math.SQRT2 * Math.abs(x)) / Math.SQRT2,
      sample: next => signed(-Math.log(next()) / Math.SQRT2, next),
    },
    // |ξ|^½ has the law of a sum of two exponentials
    "generalized-normal:0.5": {
      density: x => Math.exp(-Math.sqrt(Math.abs(x) / GENERALIZED)) / (4 * GENERALIZED),
      sample: next => signed(GENERALIZED * Math.log(next() * next()) ** 2, next),
    },
    // Student's own scale is √2 smaller than the standard deviation
    "student-t:4": {
      density: x => Math.SQRT2 * 0.375 * (1 + x * x / 2) ** -2.5,
      sample: next => Math.sqrt(2 * (next() ** -0.5 - 1)) * Math.cos(2 * Math.PI * next()),
    },
  };

  const phi = (g, power) => Math.sign(g) * Math.abs(g) ** power;
  const mean = setting => 1 / Math.max(1, setting.ratio);
  const scale = setting => setting.ratio / Math.max(1, setting.ratio);

  // ε/s^p at a power.
  function epsilon(setting, power) {
    const { relative, absolute, mean: mu } = setting.level;
    return relative + absolute / (mu * Math.max(1, setting.ratio)) ** power;
  }

  // Densities of g and φ_p(g) on a grid; for atoms, their places.
  function densities(setting, power, grid) {
    const law = LAWS[setting.law], m = mean(setting), s = scale(setting);
    if (law.atoms) {
      const places = law.atoms.map(x => m + s * x);
      return { places, powered: places.map(g => phi(g, power)) };
    }
    const plain = g => law.density((g - m) / s) / s;
    // By change of variables; dg/dy = |y|^(1/p − 1)/p at y = φ_p(g).
    const changed = y => plain(phi(y, 1 / power)) * Math.abs(y) ** (1 / power - 1) / power;
    return { plain: grid.map(plain), powered: grid.map(changed) };
  }

  // Barycentric interpolation at Chebyshev points, which run from the largest power to the smallest.
  function interpolate(nodes, values, x) {
    let top = 0, bottom = 0;
    for (let k = 0; k < nodes.length; k++) {
      if (x === nodes[k]) return values[k];
      const end = k === 0 || k === nodes.length - 1;
      const weight = (k % 2 ? -1 : 1) * (end ? 0.5 : 1) / (x - nodes[k]);
      top += weight * values[k];
      bottom += weight;
    }
    return top / bottom;
  }

  // One of the exact curves at a power; NaN where it has not been computed.
  function exact(setting, curve, name, power) {
    if (!curve[name]) return NaN;
    const { lowest, highest } = setting.range, last = curve[name].length - 1;
    const nodes = curve[name].map((_, k) =>
      (highest + lowest) / 2 + (highest - lowest) / 2 * Math.cos(Math.PI * k / last));
    const logs = curve[name].map((value, k) => Math.log(value * (1 + epsilon(setting, nodes[k]))));
    return Math.exp(interpolate(nodes, logs, power)) / (1 + epsilon(setting, power));
  }

  // Adam with bias correction on independent coordinates, after a warm-up. Mean over coordinates of the running mean
  // of u, and its standard error, which the spread over coordinates gives; and u of the first coordinate.
  function monteCarlo(setting, power, seed) {
    const next = generator(seed), { sample } = LAWS[setting.law], m0 = mean(setting), s0 = scale(setting);
    const { beta1, beta2 } = setting, eps = epsilon(setting, power);
    const warmUp = Math.ceil(4 / (1 - beta2));
    const sum = new Float64Array(SHOWN), squares = new Float64Array(SHOWN), first = new Float64Array(SHOWN);
    for (let coordinate = 0; coordinate < COORDINATES; coordinate++) {
      let m = 0, v = 0, left1 = 1, left2 = 1, total = 0;
      for (let t = -warmUp; t < SHOWN; t++) {
        const x = phi(m0 + s0 * sample(next), power);
        m = beta1 * m + (1 - beta1) * x;
        v = beta2 * v + (1 - beta2) * x * x;
        left1 *= beta1;
        left2 *= beta2;
        if (t < 0) continue;
        const u = m / (1 - left1) / (Math.sqrt(v / (1 - left2)) + eps);
        if (coordinate === 0) first[t] = u;
        total += u;
        sum[t] += total / (t + 1);
        squares[t] += (total / (t + 1)) ** 2;
      }
    }
    const average = sum.map(value => value / COORDINATES);
    const error = squares.map((value, t) =>
      Math.sqrt(Math.max(value / COORDINATES - average[t] ** 2, 0) / (COORDINATES - 1)));
    return { first, average, error };
  }

  return { LAWS, generator, densities, exact, monteCarlo };
})();
