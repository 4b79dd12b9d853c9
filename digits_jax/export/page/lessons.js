/** Lessons: two networks side by side, a prediction first, and how large delta is in each layer. */

/** What a reader may choose for a network, in the order in which the address tells it. */
const SETTINGS = {
    hidden: { label: "Hidden layers", pattern: "[1-9]\\d{0,2}(,[1-9]\\d{0,2}){0,5}" },
    activation: { label: "Activation", options: () => Object.keys(ACTIVATIONS) },
    loss: { label: "Loss", options: () => Object.keys(LOSSES) },
    init: { label: "Initial weights", options: () => Object.keys(INITIALIZERS) },
    learning_rate: { label: "Learning rate", pattern: "\\d*\\.?\\d+" },
    batch_size: { label: "Batch", pattern: "[1-9]\\d{0,2}" },
};
const CLASSIC = {
    hidden: "30", activation: "sigmoid", loss: "quadratic", init: "lecun_normal",
    learning_rate: "3", batch_size: "10",
};

/** The two networks of each lesson: experiments/recipes/lessons/NAME-a.flags and NAME-b.flags. */
const LESSONS = {
    slowdown: {
        title: "Learning slowdown",
        about: "Large initial weights saturate sigmoid units. The quadratic loss multiplies the " +
            "output's error by σ'(z), which is then close to 0; cross-entropy does not.",
        question: "Which network has the lower error rate after one epoch?",
        networks: [{ init: "standard_normal", learning_rate: "0.5" },
            { init: "standard_normal", learning_rate: "0.5", loss: "cross_entropy" }],
    },
    vanishing: {
        title: "Vanishing gradient",
        about: "Each sigmoid layer multiplies delta by σ'(z), which is at most 1/4. Compare the " +
            "bars of the first layers.",
        question: "Which network has the larger delta in layer 1 before training?",
        networks: [{}, { hidden: "30,30,30,30" }],
        answer: ([a, b]) => [a.deltas[0], b.deltas[0]],
    },
    initialisation: {
        title: "Initialisation",
        about: "Where all weights start at 0, all units of a layer get the same gradient and stay " +
            "alike. Random weights break the symmetry.",
        question: "Which network has the lower error rate after one epoch?",
        networks: [{ init: "zeros" }, {}],
    },
    batch: {
        title: "Batch size",
        about: "A small batch makes more steps an epoch, each with a noisier gradient.",
        question: "Which network has the lower error rate after one epoch?",
        networks: [{ batch_size: "10" }, { batch_size: "200" }],
    },
};
const SIDES = ["A", "B"];
const lesson = { name: null, sides: [], guess: null };

/** Mean size of delta at the weighted inputs of each layer, over the first images held out. */
function deltaSizes({ network, params }, images = parts().heldOut.slice(0, 50)) {
    const affine = affineLayers(network);
    const sums = affine.map(() => 0);
    for (const i of images) {
        const pass = manual(network, params, scalePixels(imageAt(i), network), content.labels[i]);
        affine.forEach(({ l }, n) => {
            const { data } = pass.deltas[l + 1];
            sums[n] += data.reduce((sum, d) => sum + Math.abs(d), 0) / data.length / images.length;
        });
    }
    return sums;
}

/** An untrained network of these settings. */
function untrained(settings) {
    const config = { ...settings, hidden: settings.hidden.split(",") };
    const network = stack(config, content.image_shape, content.class_names.length);
    const one = { settings, network, params: initialise(network, INITIALIZERS[settings.init]) };
    return Object.assign(one, { deltas: deltaSizes(one), history: [score(one)] });
}

/** lesson=vanishing&a=30,sigmoid,...: the address holds the lesson and what was chosen. */
function lessonInAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const { networks } = LESSONS[asked.get("lesson")] ?? {};
    if (!networks) return null;
    const settings = networks.map((own, n) => {
        const words = asked.get(SIDES[n].toLowerCase())?.split("~") ?? [];
        const given = Object.keys(SETTINGS).map((name, i) => [name, words[i]]);
        return { ...CLASSIC, ...own, ...Object.fromEntries(given.filter(([name, word]) =>
            word !== undefined && isValid(name, word))) };
    });
    return [asked.get("lesson"), settings];
}

const isValid = (name, word) => SETTINGS[name].options
    ? SETTINGS[name].options().includes(word) : new RegExp(`^${SETTINGS[name].pattern}$`).test(word);

function rememberLesson() {
    const words = lesson.sides.map(({ settings }, n) =>
        `${SIDES[n].toLowerCase()}=${Object.values(settings).join("~")}`);
    history.replaceState(null, "", `#lesson=${lesson.name}&${words.join("&")}`);
}

function openLesson(name, settings) {
    const { title, about, question } = LESSONS[name];
    Object.assign(lesson, { name, guess: null, sides: settings.map(untrained) });
    find("lesson").value = name;
    const guess = (index) => {
        lesson.guess = index;
        showLesson();
    };
    const [group] = choices(question, [...SIDES, "no difference"], guess);
    find("lesson-about").replaceChildren(heading(title), paragraph(about), group,
        element("p", { id: "lesson-verdict", role: "status" }));
    find("lesson-sides").replaceChildren(...SIDES.map((side, n) =>
        element("div", { class: "side" }, heading(`Network ${side}`),
            element("div", { class: "controls" }, ...Object.entries(SETTINGS).map(([key, about]) =>
                element("label", {}, about.label, settingControl(key, about, n)))),
            element("div", { id: `lesson-shown-${n}` }))));
    for (const id of ["lesson-about", "lesson-tools", "lesson-sides"]) find(id).hidden = false;
    rememberLesson();
    showLesson();
}

function settingControl(key, { options, pattern }, n) {
    const value = lesson.sides[n].settings[key];
    const change = (event) => {
        if (!event.target.reportValidity()) return;
        lesson.sides[n] = untrained({ ...lesson.sides[n].settings, [key]: event.target.value });
        rememberLesson();
        showLesson();
    };
    return options
        ? element("select", { change }, ...options().map((option) =>
            element("option", { value: option, selected: option === value }, option)))
        : element("input", { change, value, pattern, required: true, size: 8 });
}

/** What is there to see before the reader has said what to expect: nothing. */
function showLesson() {
    const waiting = lesson.guess === null;
    for (const id of ["lesson-one", "lesson-five"]) find(id).disabled = waiting;
    lesson.sides.forEach(({ deltas, history }, n) => {
        const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        drawn.setAttribute("viewBox", "0 0 300 160");
        drawn.setAttribute("role", "img");
        curve(drawn, history.map(({ accuracy }) => 100 * accuracy), "accuracy",
            (value) => `${value.toFixed(1)} %`);
        const [list, show] = bars(deltas.map((_, l) => `layer ${l + 1}`), "Mean size of delta");
        show(deltas.map((size) => Math.max(0, 1 + Math.log10(size + 1e-9) / 6)), null,
            (_, l) => written(deltas[l], 2));
        find(`lesson-shown-${n}`).replaceChildren(...(waiting ? [quiet("Answer first.")] : [
            quiet("Mean |δ| of each layer on held-out images; logarithmic scale from 10⁻⁶ to 1:"), list,
            quiet("Accuracy on held-out images in percent, by epoch:"), drawn,
        ]));
    });
    say(find("lesson-verdict"), waiting ? "Choose what you expect; then the page shows what is."
        : verdict());
}

/** Whether the reader's expectation holds, in numbers. */
function verdict() {
    const { answer } = LESSONS[lesson.name];
    if (!answer && lesson.sides.some(({ history }) => history.length < 2)) {
        return "Train an epoch to find out.";
    }
    const errors = (side) => 1 - side.history[1].accuracy;
    const [a, b] = answer ? answer(lesson.sides) : lesson.sides.map(errors);
    const equal = Math.abs(a - b) <= 0.05 * Math.max(a, b);
    const right = equal ? 2 : Number(answer ? b > a : b < a);
    const text = answer ? (x) => written(x, 2) : percent;
    return `${lesson.guess === right ? "As you expected" : "Not as you expected"}: ` +
        `A ${text(a)}, B ${text(b)}.`;
}

async function trainLesson(epochs) {
    training.running = true;
    lockTraining();
    for (let n = 0; n < epochs && training.running; n++) {
        for (const [index, one] of lesson.sides.entries()) {
            const { learning_rate: rate, batch_size: size } = one.settings;
            const follow = (seen) => say(find("lesson-said"), `Network ${SIDES[index]}, epoch ` +
                `${one.history.length}: ${seen} of ${content.sizes[1]} images`);
            if (!(await epoch(one, Number(rate), Number(size), follow))) break;
            one.history.push(score(one));
            one.deltas = deltaSizes(one);
            showLesson();
        }
    }
    training.running = false;
    lockTraining();
    say(find("lesson-said"), "");
    showLesson();
}

/** One panel a screen in large type; arrow keys turn. */
function present(index) {
    const panels = [...document.querySelectorAll("main > section")];
    const now = index === null ? null : panels[(index + panels.length) % panels.length];
    document.body.classList.toggle("presenter", now !== null);
    panels.forEach((panel) => panel.classList.toggle("now", panel === now));
    find("present").setAttribute("aria-pressed", String(now !== null));
    scrollTo(0, 0);
}

function setUpLessons() {
    find("lesson").append(...Object.entries(LESSONS).map(([value, { title }]) =>
        element("option", { value }, title)));
    find("lesson").addEventListener("change", (event) => {
        const { networks } = LESSONS[event.target.value];
        openLesson(event.target.value, networks.map((own) => ({ ...CLASSIC, ...own })));
    });
    find("lesson-one").addEventListener("click", () => trainLesson(1));
    find("lesson-five").addEventListener("click", () => trainLesson(5));
    const shown = () => [...document.querySelectorAll("main > section")]
        .findIndex((panel) => panel.classList.contains("now"));
    find("present").addEventListener("click", () => present(shown() < 0 ? 0 : null));
    document.addEventListener("keydown", ({ key, target }) => {
        if (shown() < 0 || target.closest("input, select, textarea")) return;
        if (key === "ArrowRight") present(shown() + 1);
        if (key === "ArrowLeft") present(shown() - 1);
        if (key === "Escape") present(null);
    });
    const open = () => {
        const asked = lessonInAddress();
        if (!asked) return;
        openLesson(...asked);
        find("lessons").scrollIntoView();
    };
    addEventListener("hashchange", open);
    open();
}
