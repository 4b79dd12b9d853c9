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

function showAnswers() {
    const empty = state.pixels.every((level) => level === 0);
    answers.forEach(({ network, about, said, note, show }, index) => {
        const logits = digits.predict(state.pixels, index);
        const shares = network.loss.probabilities(logits);
        const best = argmax(shares);
        const name = content.class_names[best];
        const sure = shares[best] >= about.threshold;
        show(shares, empty ? null : best);
        say(said, empty ? "–" : sure ? name : "?");
        say(note, empty ? "Nothing is drawn yet."
            : `${sure ? "" : `Perhaps ${name}: `}${percent(shares[best])}; ` +
                `below ${percent(about.threshold)} it says ?`);
    });
}
