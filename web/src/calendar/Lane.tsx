import type { Piece } from "../time/zones";

interface BusyPiece extends Piece {
  what: { status: string };
  text: string;
}

interface Props {
  index: number;
  name: string;
  letter: string;
  working: readonly Piece[];
  busy: readonly BusyPiece[];
  isUnknown: boolean;
}

/** One person's time as a narrow lane: working hours behind, busy times on top. */
export function Lane({ index, name, letter, working, busy, isUnknown }: Props) {
  return (
    <div
      class={isUnknown ? "lane unknown" : "lane"}
      data-person={index}
      style={{ insetInlineStart: `calc(var(--lane) * ${index})` }}
      title={name}
    >
      {working.map((piece) => (
        <div key={`w${piece.start}`} class="working" style={place(piece)} />
      ))}
      <ul aria-label={name}>
        {busy.map((piece) => (
          <li
            key={`${piece.text}`}
            class={`busy ${piece.what.status}`}
            style={place(piece)}
            title={piece.text}
          >
            <span class="unseen">{piece.text}</span>
            <span aria-hidden="true">{letter}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

function place(piece: Piece): { top: string; height: string } {
  return {
    top: `calc(var(--hour) * ${piece.start / 60})`,
    height: `calc(var(--hour) * ${(piece.end - piece.start) / 60})`,
  };
}
