/** Inside: what each unit or kernel looks for, what it makes of this picture, what it adds. */

/** The layers that have parameters, each with the activation after it, where there is one. */
function affineLayers(network) {
    const affine = [];
    network.layers.forEach((layer, l) => {
        if (!network.parameterShapes[l].length) return;
        const next = network.layers[l + 1]?.kind;
        affine.push({ layer, l, activation: next in ACTIVATIONS ? next : null });
    });
    return affine;
}

/** The index of a layer's output after its activation, in what `forward` gives. */
const activated = ({ l, activation: kind }) => (kind ? l + 2 : l + 1);

let openUnit = null;
const openLayers = new Set();

function showInside() {
    const { network, params } = current();
    const inputs = forward(network, params, scalePixels(state.pixels, network));
    find("units").replaceChildren(...affineLayers(network).slice(0, -1).flatMap((affine, n) => {
        const { shape } = inputs[activated(affine)];
        const { kind, numbers: { size } } = affine.layer;
        const title = `Layer ${n + 1}: ` + (kind === "convolution"
            ? `${shape[0]} kernels of ${size} × ${size}` : `${shape[0]} units`);
        if (n === 0) return [heading(title), ...insideLayer(affine, n, inputs)];
        // What lies deeper is shown where it is asked for.
        const open = openLayers.has(n);
        const turn = (event) => {
            event.preventDefault();
            openLayers[open ? "delete" : "add"](n);
            showInside();
            find(`layer-${n}`).focus();
        };
        return [element("details", { open },
            element("summary", { click: turn, id: `layer-${n}` }, title),
            ...(open ? insideLayer(affine, n, inputs) : []))];
    }));
    showPixels(inputs);
}

/** The weights of a layer and what it makes of the picture. */
function insideLayer(affine, n, inputs) {
    const { network, params } = current();
    const { l, layer } = affine;
    const outputs = inputs[activated(affine)];
    if (layer.kind === "convolution") {
        const most = extent(params[l].weights.data);
        const kernels = params[l].biases.data;
        return [
            quiet("Each kernel, a square for each channel that it sees; below, its map after " +
                `${affine.activation}: where it found what it looks for.`),
            element("div", { class: "pictures kernels" }, ...Array.from(kernels, (_, o) => {
                const shown = weightPicture(network, l, rowOf(params[l].weights, o));
                return element("figure", {},
                    picture(...shown.slice(0, 3), `Kernel ${o + 1}`, most),
                    picture(channel(outputs, o), outputs.shape[1], outputs.shape[2],
                        `Feature map ${o + 1}`, extent(outputs.data)),
                    element("figcaption", {}, String(o + 1)));
            })),
        ];
    }
    if (l === 1 && network.layers[0].kind === "flatten") {
        return [
            quiet("Of each unit: its weights, its weights times the picture, and below what it " +
                `adds to each class, ${content.class_names[0]} to ` +
                `${content.class_names.at(-1)}. Orange is positive, blue negative. ` +
                "Press one for its numbers."),
            element("div", { class: "units" },
                ...Array.from(outputs.data, (_, j) => unitCard(j, affine, inputs))),
        ];
    }
    const what = `Activations of layer ${n + 1}`;
    return [quiet(`${what}.`), element("div", { class: "strip" },
        picture(outputs.data, 1, outputs.shape[0], what))];
}

/** A unit of the first layer; its numbers where it is open. */
function unitCard(j, { l, activation: kind }, inputs) {
    const { network, params } = current();
    const [height, width] = content.image_shape;
    const weights = rowOf(params[l].weights, j);
    const seen = weights.map((w, k) => w * inputs[l].data[k]);
    const [z, a] = [inputs[l + 1].data[j], inputs[l + 2].data[j]];
    const next = params[l + 2].weights;
    const last = l + 3 === network.layers.length;
    const from = Float64Array.from({ length: next.shape[0] }, (_, k) =>
        next.data[k * next.shape[1] + j]);
    const adds = from.map((w) => w * a);
    const press = () => {
        openUnit = openUnit === j ? null : j;
        showInside();
        find(`unit-${j}`).focus();
    };
    const about = {
        id: `unit-${j}`, "aria-label": `Unit ${j + 1}`, "aria-expanded": String(openUnit === j),
    };
    const card = element("div", { class: "unit" }, button("", press, about));
    card.firstChild.append(
        picture(weights, height, width, "weights"),
        picture(seen, height, width, "weights times the picture"),
        ...(last ? [picture(adds, 1, adds.length, "what it adds to each class")] : []),
        element("span", {}, `${j + 1}: a = ${written(a)}`));
    if (openUnit === j) {
        card.classList.add("open");
        const b = params[l].biases.data[j];
        card.append(element("div", {},
            formula(`z_{${j + 1}} = ∑_k w_{${j + 1},k} x_k + b_{${j + 1}}`),
            formula(`= "${written(z - b)}" + "${written(b)}" = "${written(z)}"`),
            formula(`a_{${j + 1}} = ${ACTIVATIONS[kind].name} ( z_{${j + 1}} ) = "${written(a)}"`),
            ...(last ? [table("What it adds to each class", ["class", "weight w", "w · a"],
                Array.from(adds, (added, k) => [content.class_names[k], from[k], added]))] : [])));
    }
    return card;
}

/** The gradient of a class with respect to the pixels. */
function showPixels(inputs) {
    const { network, params } = current();
    const logits = inputs.at(-1);
    const asked = find("pixels-class").value;
    const k = asked === "" ? argmax(logits.data) : Number(asked);
    const { deltas } = backward(network, params, inputs, map(logits, (_, i) => oneHot(k, i)));
    paint(find("pixel-gradient"), deltas[0].data);
    find("pixel-gradient").setAttribute("aria-label",
        `Gradient of ${content.class_names[k]} with respect to the pixels`);
    find("pixels-said").textContent = `More ink at orange pixels makes the network surer of ` +
        `${content.class_names[k]}, at blue pixels less sure: dz/dx from ` +
        `${written(Math.min(...deltas[0].data))} to ${written(Math.max(...deltas[0].data))}.`;
}

function setUpInside() {
    [find("pixel-gradient").height, find("pixel-gradient").width] = content.image_shape;
    find("pixels-class").append(...content.class_names.map((name, k) =>
        element("option", { value: k }, name)));
    find("pixels-class").addEventListener("change", showInside);
}
