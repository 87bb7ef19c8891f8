/** The same, by libfuse. */
import './transport.ts';
import '../life-cycle.test.ts';
