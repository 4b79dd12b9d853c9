/** Training on the page: an epoch at a time, while one watches. */

const training = { running: false, history: [], units: null };

/** The indices of the page's training images, and of those held out. */
function parts() {
    const [samples, train, heldOut] = content.sizes;
    const range = (start, length) => Array.from({ length }, (_, i) => start + i);
    return { train: range(samples, train), heldOut: range(samples + train, heldOut) };
}

/** A random order (Fisher and Yates, 1938). */
function shuffled(list) {
    const order = [...list];
    for (let i = order.length - 1; i > 0; i--) {
        const j = Math.floor(Math.random() * (i + 1));
        [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
}

/** Mean loss and accuracy on the images held out. */
function score({ network, params }) {
    const { heldOut } = parts();
    let [loss, right] = [0, 0];
    for (const index of heldOut) {
        const z = forward(network, params, scalePixels(imageAt(index), network)).at(-1).data;
        loss += network.loss.function(z, content.labels[index]) / heldOut.length;
        right += argmax(z) === content.labels[index] ? 1 / heldOut.length : 0;
    }
    return { loss, accuracy: right };
}

const nextFrame = () => new Promise((done) => requestAnimationFrame(done));

/**
 * One pass over the training images; `follow` is told how many were seen, many times a second.
 * @returns {Promise<boolean>} false where it was stopped
 */
async function epoch({ network, params }, rate, size, follow) {
    const order = shuffled(parts().train);
    let drawn = performance.now();
    for (let start = 0; start + size <= order.length; start += size) {
        const batch = order.slice(start, start + size);
        step(network, params, batch.map((i) => scalePixels(imageAt(i), network)),
            batch.map((i) => content.labels[i]), rate);
        if (performance.now() - drawn > 40) {
            follow(start + size);
            await nextFrame();
            if (!training.running) return false;
            drawn = performance.now();
        }
    }
    return true;
}

async function train(epochs) {
    const one = current();
    Object.assign(one, { undo: [], changes: one.changes + 1 });
    training.running = true;
    lockTraining();
    const follow = (seen) => {
        showUnits();
        find("train-said").textContent =
            `Epoch ${training.history.length}: ${seen} of ${content.sizes[1]} images`;
    };
    for (let n = 0; n < epochs && training.running; n++) {
        const rate = Number(find("train-rate").value);
        if (await epoch(one, rate, one.about.config.batch_size, follow)) {
            training.history.push(score(one));
        }
        showCurves();
        await nextFrame();
    }
    training.running = false;
    lockTraining();
    parametersChanged();
}

/** While it trains, nothing else changes the parameters. */
function lockTraining() {
    const { running } = training;
    const changing = ["train-one", "train-ten", "start", "network", "step-one", "step-ten",
        "step-undo", "restore", "lesson-one", "lesson-five", "lesson"];
    for (const id of changing) {
        find(id).disabled = running;
    }
    for (const id of ["train-stop", "lesson-stop"]) find(id).disabled = !running;
}

/** Begins anew. @param {string} how run, random or zeros */
function startFrom(how) {
    const one = current();
    const names = { random: one.about.config.init, zeros: "zeros" };
    one.params = how === "run" ? copy(one.trained)
        : initialise(one.network, INITIALIZERS[names[how]]);
    one.changes = how === "run" ? 0 : 1;
    one.undo = [];
    restartHistory();
    parametersChanged();
}

/** The run's own learning rate where it is one of gradient descent. */
const usualRate = ({ optimizer, learning_rate: rate, loss }) =>
    optimizer === "sgd" ? rate : loss === "quadratic" ? 3 : 0.1;

function restartHistory() {
    training.history = [score(current())];
    const one = current();
    find("train-rate").value = usualRate(one.about.config);
    const { l, layer } = affineLayers(one.network)[0];
    find("train-note").textContent =
        `Gradient descent on ${content.sizes[1]} images in batches of ` +
        `${one.about.config.batch_size}; the ${one.params[l].biases.data.length} pictures are the ` +
        `weights of the first layer, ${layer.kind}.`;
    showCurves();
}

/** The weights of the first layer, one picture an output. */
function showUnits() {
    const { network, params } = current();
    const { l } = affineLayers(network)[0];
    const rows = Array.from({ length: params[l].biases.data.length }, (_, j) =>
        weightPicture(network, l, rowOf(params[l].weights, j)));
    const [, height, width] = rows[0];
    const canvases = find("train-units").children;
    if (canvases.length !== rows.length || canvases[0].width !== width) {
        find("train-units").replaceChildren(...rows.map(([values], j) =>
            picture(values, height, width, `Weights of ${j + 1}`)));
    }
    rows.forEach(([values], j) => paint(canvases[j], values));
}

function showCurves() {
    const { history } = training;
    const { loss, accuracy } = history.at(-1);
    const { weights } = current().params.find(Boolean);
    const alike = weights.data.every((w, i, all) => w === all[i % weights.shape[1]]);
    say(find("train-said"), `After ${history.length - 1} epochs: loss ${written(loss)}, accuracy ` +
        `${percent(accuracy)} on ${content.sizes[2]} images held out.` + (alike
        ? " All units of a layer are alike: each gets the same gradient, and they stay so." : ""));
    curve(find("loss-curve"), history.map((point) => point.loss), "loss", written);
    curve(find("accuracy-curve"), history.map((point) => 100 * point.accuracy), "accuracy",
        (value) => `${value.toFixed(1)} %`);
    showUnits();
}

/** Round numbers that enclose the values: about four steps of 1, 2 or 5 times a power of ten. */
function ticksAround(values) {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const rough = Math.max(high - low, 0.05 * Math.abs(high), 1e-9) / 3;
    const power = 10 ** Math.floor(Math.log10(rough));
    const size = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    const [first, last] = [Math.floor(low / size), Math.max(Math.ceil(high / size), 1)];
    return Array.from({ length: last - first + 1 }, (_, n) =>
        Number(((first + n) * size).toPrecision(6)));
}

/** A line through the epochs, with round numbers on both axes, as SVG. */
function curve(svg, values, name, text) {
    const [left, right, top, bottom] = [44, 292, 8, 140];
    const ticks = ticksAround(values);
    const x = (n) => left + ((right - left) * n) / Math.max(values.length - 1, 1);
    const y = (value) => bottom - ((bottom - top) * (value - ticks[0])) / (ticks.at(-1) - ticks[0]);
    const made = (tag, attributes, ...children) => {
        const shape = document.createElementNS("http://www.w3.org/2000/svg", tag);
        for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
        shape.append(...children);
        return shape;
    };
    const epochs = [...new Set([0, values.length >> 1, values.length - 1])];
    svg.replaceChildren(
        ...ticks.flatMap((tick) => [
            made("line", { x1: left, x2: right, y1: y(tick), y2: y(tick) }),
            made("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)),
        ]),
        ...epochs.map((n) => made("text", { x: x(n), y: 156, "text-anchor": "middle" }, String(n))),
        made("polyline", { points: values.map((value, n) => `${x(n)},${y(value)}`).join(" ") }),
        made("circle", { cx: x(values.length - 1), cy: y(values.at(-1)), r: 3.5 }));
    const list = values.map((value) => text(value)).join(", ");
    svg.setAttribute("aria-label", `${name}, epoch by epoch: ${list}`);
}

function setUpTrain() {
    find("train-one").addEventListener("click", () => train(1));
    find("train-ten").addEventListener("click", () => train(10));
    for (const id of ["train-stop", "lesson-stop"]) {
        find(id).addEventListener("click", () => (training.running = false));
    }
    find("start").addEventListener("change", (event) => startFrom(event.target.value));
}
