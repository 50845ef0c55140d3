import { Component, type ReactNode } from "react";

interface Props {
  fallback: ReactNode;
  /** When it changes, what broke is tried again. */
  resetKey: string;
  children: ReactNode;
}

/** Keeps one broken view from taking the page with it. */
export class Boundary extends Component<Props, { isBroken: boolean }> {
  override state = { isBroken: false };

  static getDerivedStateFromError() {
    return { isBroken: true };
  }

  override componentDidUpdate(before: Props) {
    if (this.state.isBroken && before.resetKey !== this.props.resetKey)
      this.setState({ isBroken: false });
  }

  override render() {
    return this.state.isBroken ? this.props.fallback : this.props.children;
  }
}
