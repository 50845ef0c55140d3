import { useParams } from "wouter";
import { Builder } from "@/views/grid/builder";
import { MatrixView } from "@/views/grid/matrix";

export default function GridView() {
  const { batch } = useParams<{ batch?: string }>();
  return batch ? <MatrixView key={batch} batchId={batch} /> : <Builder />;
}
