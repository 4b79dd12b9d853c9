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
function score() {
    const { network, params } = current();
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

/** One pass over the training images; pictures follow while it runs. */
async function epoch() {
    const one = current();
    const { train } = parts();
    const size = one.about.config.batch_size;
    const order = shuffled(train);
    let drawn = performance.now();
    for (let start = 0; start + size <= order.length; start += size) {
        const batch = order.slice(start, start + size);
        step(one.network, one.params, batch.map((i) => scalePixels(imageAt(i), one.network)),
            batch.map((i) => content.labels[i]), Number(find("train-rate").value));
        if (performance.now() - drawn > 40) {
            showUnits();
            find("train-said").textContent =
                `Epoch ${training.history.length}: ${start + size} of ${order.length} images`;
            await nextFrame();
            if (!training.running) return;
            drawn = performance.now();
        }
    }
    one.changes += Math.floor(order.length / size);
    training.history.push(score());
}

async function train(epochs) {
    Object.assign(current(), { undo: [], changes: current().changes || 1 });
    training.running = true;
    lockTraining();
    for (let n = 0; n < epochs && training.running; n++) {
        await epoch();
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
        "step-undo", "restore"];
    for (const id of changing) {
        find(id).disabled = running;
    }
    find("train-stop").disabled = !running;
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
    training.history = [score()];
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
    const losses = history.map((point) => point.loss);
    curve(find("loss-curve"), losses, extent(losses), "loss", written);
    curve(find("accuracy-curve"), history.map((point) => point.accuracy), 1, "accuracy", percent);
    find("loss-most").textContent = written(extent(losses));
    showUnits();
}

/** A line through the epochs, from 0 to `most`, as SVG. */
function curve(svg, values, most, name, text) {
    const [width, height, margin] = [300, 140, 8];
    const x = (n) => margin + ((width - 2 * margin) * n) / Math.max(values.length - 1, 1);
    const y = (value) => height - margin - ((height - 2 * margin) * value) / most;
    const made = (tag, attributes) => {
        const shape = document.createElementNS("http://www.w3.org/2000/svg", tag);
        for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
        return shape;
    };
    const points = values.map((value, n) => `${x(n)},${y(value)}`).join(" ");
    svg.replaceChildren(
        made("rect", { x: 0.5, y: 0.5, width: width - 1, height: height - 1 }),
        made("polyline", { points }),
        made("circle", { cx: x(values.length - 1), cy: y(values.at(-1)), r: 3.5 }));
    const list = values.map((value) => text(value)).join(", ");
    svg.setAttribute("aria-label", `${name}, epoch by epoch: ${list}`);
}

function setUpTrain() {
    find("train-one").addEventListener("click", () => train(1));
    find("train-ten").addEventListener("click", () => train(10));
    find("train-stop").addEventListener("click", () => (training.running = false));
    find("start").addEventListener("change", (event) => startFrom(event.target.value));
}
