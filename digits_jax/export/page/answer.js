/** The answer of every network: a bar for each class, and ? where it is not sure. */

const answers = [];

function setUpAnswers() {
    for (const { network, about } of state.networks) {
        const said = element("output", { class: "said", "aria-label": `Answer of ${about.name}` });
        const note = quiet();
        const [list, show] = bars(content.class_names, `Probabilities of ${about.name}`);
        find("answers").append(element("div", { class: "answer" },
            heading(`${about.name}: ${about.description}`), said, note, list));
        answers.push({ network, about, said, note, show });
    }
}

const say = (output, text) => output.textContent !== text && (output.textContent = text);

/** What a network makes of an image: its probabilities, its best class, and whether it is sure. */
function read(image, index) {
    const { network, about } = state.networks[index];
    const shares = network.loss.probabilities(digits.predict(image, index));
    const best = argmax(shares);
    return { shares, best, sure: shares[best] >= about.threshold };
}

function showAnswers() {
    const empty = state.pixels.every((level) => level === 0);
    const several = state.lines.flat().length > 1;
    answers.forEach(({ about, said, note, show }, index) => {
        const { shares, best, sure } = read(state.pixels, index);
        const name = content.class_names[best];
        show(empty ? null : shares, empty ? null : best);
        say(said, empty ? "–" : state.lines.map((line) => line.map((image) => {
            const one = image === state.pixels ? { best, sure } : read(image, index);
            return one.sure ? content.class_names[one.best] : "?";
        }).join("")).join(" / "));
        said.classList.toggle("long", said.textContent.length > 8);
        say(note, empty ? "Nothing is drawn yet."
            : `${several ? `Digit ${state.piece + 1} of ${state.lines.flat().length}: ` : ""}` +
                `${sure ? "" : `perhaps ${name}, `}${percent(shares[best])}; ` +
                `below ${percent(about.threshold)} it says ?`);
    });
    if (!state.labelled) state.label = read(state.pixels, state.active).best;
    find("pieces").hidden = !several;
    if (several) {
        find("pieces").replaceChildren(...state.lines.flat().map((image, n) =>
            button(inked(image), () => {
                choosePiece(n);
                find("pieces").children[n].focus();
            }, {
                "aria-label": `Digit ${n + 1}`, "aria-pressed": String(n === state.piece),
            })));
    }
}
